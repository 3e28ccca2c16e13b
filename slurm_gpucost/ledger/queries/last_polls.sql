-- The last good look at each witness, by cluster; at_ms of 'sacct' is up to when running attempts count.
SELECT witness, cluster, max(CASE WHEN ok = 1 AND current = 1 THEN observed_at_ms END) AS at_ms,
  max(CASE WHEN ok = 1 THEN observed_at_ms END) AS any_ms,
  max(CASE WHEN ok = 0 THEN observed_at_ms END) AS failed_ms
FROM source_poll
GROUP BY witness, cluster
ORDER BY witness, cluster
