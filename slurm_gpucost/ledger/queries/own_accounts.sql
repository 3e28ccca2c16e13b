-- own_accounts
-- The accounts in which :user has used something, by cluster; as the accounting has it, for hooks are a node's word.
SELECT DISTINCT cluster, account FROM attempt WHERE user = :user AND billable = 1 ORDER BY cluster, account
