-- Who held :devices (a JSON list) in [:start_ms, :end_ms): leases that name a device. Running ones end at 4611686018427387903.
-- released_ms: the last epilog, where it came within an hour after the end, else the end.
WITH overlapping AS MATERIALIZED (
  SELECT * FROM lease
  WHERE start_ms < :end_ms AND end_ms > :start_ms AND device IS NOT NULL AND end_day >= :start_ms / 86400000
    AND end_day <= (:end_ms + (SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 FROM meta WHERE key = 'longest_lease_ms'))
      / 86400000
  UNION ALL
  SELECT * FROM lease WHERE end_day = 4611686018427387903 / 86400000 AND start_ms < :end_ms AND device IS NOT NULL
)
SELECT l.cluster, l.job_id, l.submit_ms, l.n, l.device, l.start_ms, l.end_ms, l.suspended <> '' AS suspended,
  l.units * l.share_num AS share_num, l.share_den, l.user,
  CASE WHEN l.epilog_ms > l.end_ms AND l.epilog_ms < l.end_ms + 3600000 THEN l.epilog_ms ELSE l.end_ms END AS released_ms
FROM overlapping l JOIN json_each(:devices) d ON l.device = d.value
ORDER BY l.cluster, l.job_id, l.submit_ms, l.n
