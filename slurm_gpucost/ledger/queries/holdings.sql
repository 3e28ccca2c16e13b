-- Who held :devices (a JSON list) in [:start_ms, :end_ms): leases that name a device. Running ones end at 4611686018427387903.
-- released_ms: the first epilog within an hour after the end, else the end.
WITH overlapping AS MATERIALIZED (
  SELECT * FROM lease
  WHERE start_ms < :end_ms AND end_ms > :start_ms AND device IS NOT NULL
    AND end_ms < :end_ms + (SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 FROM meta WHERE key = 'longest_lease_ms')
  UNION ALL
  SELECT * FROM lease WHERE end_ms = 4611686018427387903 AND start_ms < :end_ms AND device IS NOT NULL
)
SELECT l.cluster, l.job_id, l.submit_ms, l.n, l.device, l.start_ms, l.end_ms, l.suspended_ms, l.units * l.share_num AS share_num,
  l.share_den, l.user,
  coalesce((SELECT min(h.at_ms) FROM hook_event h
    WHERE h.cluster = l.cluster AND h.job_id = l.job_id AND h.hook = 'epilog' AND h.node = l.node
      AND h.at_ms >= l.end_ms AND h.at_ms < l.end_ms + 3600000), l.end_ms) AS released_ms
FROM overlapping l JOIN json_each(:devices) d ON l.device = d.value
ORDER BY l.cluster, l.job_id, l.submit_ms, l.n
