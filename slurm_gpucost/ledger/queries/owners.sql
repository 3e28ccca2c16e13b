-- Every account and user that the ledger knows.
SELECT DISTINCT account, user FROM attempt ORDER BY account, user
