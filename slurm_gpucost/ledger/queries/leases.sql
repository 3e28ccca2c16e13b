-- Leases of the attempts that overlap [:start_ms, :end_ms). share_den 0: the config does not say.
WITH overlapping AS MATERIALIZED (
  SELECT * FROM lease
  WHERE start_ms < :end_ms AND end_ms >= :start_ms AND (end_ms > :start_ms OR start_ms = end_ms)
    AND end_day >= :start_ms / 86400000
    AND end_day <= (:end_ms + (SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 FROM meta WHERE key = 'longest_lease_ms'))
      / 86400000
  UNION ALL
  SELECT * FROM lease WHERE end_day = 4611686018427387903 / 86400000 AND start_ms < :end_ms
)
SELECT l.cluster, l.job_id, l.submit_ms, l.n, l.node, l.device, l.gres_index, l.gres_name, l.gres_type, l.units,
  l.share_num, l.share_den, l.start_ms, nullif(l.end_ms, 4611686018427387903) AS end_ms, l.suspended,
  l.device_evidence, l.start_evidence, l.end_evidence, l.prolog_ms, l.epilog_ms, d.model
FROM overlapping l
LEFT JOIN device d ON d.device = l.device
WHERE (:users IS NULL OR l.user IN (SELECT value FROM json_each(:users)))
  AND (:accounts IS NULL OR l.account IN (SELECT value FROM json_each(:accounts)))
ORDER BY l.cluster, l.job_id, l.submit_ms, l.n
