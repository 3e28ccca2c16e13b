-- own_accounts
-- The accounts in which :user has used something, by cluster.
SELECT DISTINCT cluster, account FROM attempt WHERE user = :user ORDER BY cluster, account
