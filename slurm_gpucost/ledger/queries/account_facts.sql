-- What imported files and sacctmgr say of accounts at the moment :now_ms. Of each fact the one that holds then: it began last, and was imported last.
WITH imported AS (
  SELECT cluster, account, field, value, from_ms, file, line,
    row_number() OVER (PARTITION BY cluster, account, field ORDER BY from_ms DESC, imported_at_ms DESC) AS place
  FROM account_fact
  WHERE from_ms <= :now_ms
),
listed AS (
  SELECT cluster, account, description, organization, observed_at_ms,
    row_number() OVER (PARTITION BY cluster, account ORDER BY observed_at_ms DESC) AS place
  FROM account_report
  WHERE observed_at_ms <= :now_ms
)
SELECT cluster, account, field, value, from_ms, 'portal' AS source, file, line FROM imported WHERE place = 1 AND value <> ''
UNION ALL
SELECT cluster, account, 'description', description, observed_at_ms, 'sacctmgr', '', 0 FROM listed
WHERE place = 1 AND description <> ''
UNION ALL
SELECT cluster, account, 'organization', organization, observed_at_ms, 'sacctmgr', '', 0 FROM listed
WHERE place = 1 AND organization <> ''
ORDER BY cluster, account, field, source
