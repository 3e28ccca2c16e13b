-- Every lease that the accounting knows in [:start_ms, :end_ms), whole, one by one; units / (share_den of its holder) is devices.
-- end_ms of what runs is the last good look at the accounting, as in billable_time.
WITH longest AS (
  SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 AS ms FROM meta WHERE key = 'longest_lease_ms'
),
polled AS (
  SELECT cluster, max(observed_at_ms) AS at_ms
  FROM source_poll
  WHERE witness = 'sacct' AND ok = 1 AND current = 1
  GROUP BY cluster
),
overlapping AS (
  SELECT holder, cluster, job_id, submit_ms, n, node, start_ms, end_ms, units * share_num AS units
  FROM lease_row
  WHERE end_day >= :start_ms / 86400000 AND end_day <= (:end_ms + (SELECT ms FROM longest)) / 86400000
    AND end_ms > :start_ms AND start_ms < :end_ms
  UNION ALL
  SELECT holder, l.cluster, job_id, submit_ms, n, node, start_ms, CASE WHEN polled.at_ms > seen_ms THEN polled.at_ms ELSE seen_ms END,
    units * share_num
  FROM lease_row l LEFT JOIN polled ON polled.cluster = l.cluster
  WHERE end_day = 4611686018427387903 / 86400000 AND start_ms < :end_ms
)
SELECT l.holder, l.cluster, l.job_id, l.submit_ms, l.n, l.node, l.start_ms, l.end_ms, l.units,
  coalesce(a.elapsed_ms, l.end_ms - a.start_ms - a.suspended_ms) AS elapsed_ms,
  h.account, h.user, h.gres_name, h.gres_type, nullif(h.model, '') AS model, h.share_den, h.suspended, h.state, h.partition,
  h.qos, h.reservation, h.run, nullif(h.cancelled_by, -1) AS cancelled_by, h.vanished
FROM overlapping l
JOIN holder h ON h.holder = l.holder
JOIN attempt a ON a.cluster = l.cluster AND a.job_id = l.job_id AND a.submit_ms = l.submit_ms
WHERE h.billable = 1
ORDER BY l.cluster, l.job_id, l.submit_ms, l.n
