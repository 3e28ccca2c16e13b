-- Every account that the ledger knows, by cluster.
SELECT DISTINCT cluster, account FROM attempt ORDER BY cluster, account
