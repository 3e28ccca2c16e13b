-- Which of these accounts and users (JSON arrays) the ledger knows.
SELECT 'account' AS kind, value AS name FROM json_each(:accounts) WHERE EXISTS (SELECT 1 FROM attempt WHERE account = value)
UNION ALL
SELECT 'user', value FROM json_each(:users) WHERE EXISTS (SELECT 1 FROM attempt WHERE user = value)
