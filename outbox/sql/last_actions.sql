-- What operators did about a tenant last. In the order of their numbers PostgreSQL would look at everybody's until it has
-- found enough: so first those of the tenant, by ix_outbox_action_tenants.
WITH about AS MATERIALIZED (
    SELECT id FROM outbox_operator_actions WHERE tenants @> ARRAY[%(tenant)s]::varchar[]
), last AS MATERIALIZED (
    SELECT id FROM about ORDER BY id DESC LIMIT %(most)s
)
SELECT a.* FROM last JOIN outbox_operator_actions a ON a.id = last.id ORDER BY a.id DESC
