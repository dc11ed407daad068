-- Of a row of outbox_tenant_backlogs: what is pending, if the tenant's circuit or that of all lets nothing through now.
SELECT CASE
    WHEN EXISTS (
        SELECT FROM circuits_now c
        WHERE c.tenant_id = outbox_tenant_backlogs.tenant_id AND c.name = 'publish' AND NOT c.may_call
    ) OR EXISTS (
        SELECT FROM circuits_now everyone
        WHERE everyone.tenant_id = '*' AND everyone.name = 'publish' AND NOT everyone.may_call
    ) THEN outbox_tenant_backlogs.pending
    ELSE 0
END
