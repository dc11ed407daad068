COPY pg_temp.outbox_staged FROM STDIN
