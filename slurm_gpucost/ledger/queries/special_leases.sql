-- All leases, whole, of attempts that held something in [:start_ms, :end_ms) and of which no sum says enough: of :holders (a JSON
-- array) those that ran for less than :shorter_ms net of suspension; with :suspended 1, those that were suspended and have
-- ended in the period; and those that held something on a node while it was out of use: :outages is a JSON array of
-- [cluster, node, from_ms, until_ms].
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
outage AS MATERIALIZED (
  SELECT json_extract(value, '$[0]') AS cluster, json_extract(value, '$[1]') AS node,
    json_extract(value, '$[2]') AS from_ms, json_extract(value, '$[3]') AS until_ms
  FROM json_each(:outages)
),
near AS (
  SELECT holder, cluster, job_id, submit_ms, node, start_ms, end_ms, seen_ms
  FROM lease_row
  WHERE end_day >= :start_ms / 86400000 AND end_day <= (:end_ms + (SELECT ms FROM longest)) / 86400000
    AND end_ms > :start_ms AND start_ms < :end_ms
  UNION ALL
  SELECT holder, cluster, job_id, submit_ms, node, start_ms, end_ms, seen_ms
  FROM lease_row WHERE end_day = 4611686018427387903 / 86400000 AND start_ms < :end_ms
),
named AS MATERIALIZED (
  SELECT l.cluster, l.job_id, l.submit_ms
  FROM near l
  CROSS JOIN attempt a ON a.cluster = l.cluster AND a.job_id = l.job_id AND a.submit_ms = l.submit_ms
  LEFT JOIN polled ON polled.cluster = l.cluster
  WHERE l.holder IN (SELECT value FROM json_each(:holders)) AND coalesce(a.elapsed_ms,
    (CASE WHEN polled.at_ms > l.seen_ms THEN polled.at_ms ELSE l.seen_ms END) - a.start_ms - a.suspended_ms) < :shorter_ms
  UNION
  SELECT cluster, job_id, submit_ms FROM attempt
  WHERE :suspended = 1 AND suspended_ms > 0 AND end_ms > :start_ms AND end_ms <= :end_ms
  UNION
  SELECT l.cluster, l.job_id, l.submit_ms
  FROM near l CROSS JOIN outage o ON o.cluster = l.cluster AND o.node = l.node
  WHERE l.start_ms < o.until_ms AND l.end_ms > o.from_ms
)
SELECT l.holder, l.cluster, l.job_id, l.submit_ms, l.n, l.node, l.start_ms, l.units * l.share_num AS units,
  CASE WHEN l.end_ms < 4611686018427387903 THEN l.end_ms
    WHEN polled.at_ms > l.seen_ms THEN polled.at_ms ELSE l.seen_ms END AS end_ms,
  a.end_ms AS attempt_end_ms,
  coalesce(a.elapsed_ms,
    (CASE WHEN polled.at_ms > l.seen_ms THEN polled.at_ms ELSE l.seen_ms END) - a.start_ms - a.suspended_ms) AS elapsed_ms,
  h.account, h.user, h.gres_name, h.gres_type, nullif(h.model, '') AS model, h.share_den, h.suspended, h.state, h.partition,
  h.qos, h.reservation, h.run, nullif(h.cancelled_by, -1) AS cancelled_by, h.vanished
FROM named s
CROSS JOIN lease_row l ON l.cluster = s.cluster AND l.job_id = s.job_id AND l.submit_ms = s.submit_ms
JOIN holder h ON h.holder = l.holder
JOIN attempt a ON a.cluster = s.cluster AND a.job_id = s.job_id AND a.submit_ms = s.submit_ms
LEFT JOIN polled ON polled.cluster = l.cluster
WHERE h.billable = 1
ORDER BY l.cluster, l.job_id, l.submit_ms, l.n
