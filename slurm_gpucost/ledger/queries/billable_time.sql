-- Device time by all that billing rules can ask of it, in one period: integers only, nothing priced.
-- quantity / share_den is device-milliseconds; share_den 0: nobody says how many shards make a device.
-- Running leases count up to the last good look at the accounting. suspended: '' while the job ran.
-- Parameters: :start_ms, :end_ms (end exclusive); :held 0 for what accounting knows, 1 for what it does not (shown, not billed).
-- :nodes is NULL, or a JSON array of CLUSTER/NODE: then only what is on one of these with :among 1, on none with 0.
-- Leases lie in order of (end_day, holder), so the inner sums are made as they are read, without a sort.
WITH longest AS (
  SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 AS ms FROM meta WHERE key = 'longest_lease_ms'
),
polled AS (
  SELECT cluster, max(observed_at_ms) AS at_ms
  FROM source_poll
  WHERE witness = 'sacct' AND ok = 1 AND current = 1
  GROUP BY cluster
),
ended AS (
  SELECT holder,
    sum((CASE WHEN end_ms > :end_ms THEN :end_ms ELSE end_ms END
      - CASE WHEN start_ms < :start_ms THEN :start_ms ELSE start_ms END) * units * share_num) AS quantity,
    count(*) AS leases
  FROM lease_row
  WHERE end_day >= :start_ms / 86400000 AND end_day <= (:end_ms + (SELECT ms FROM longest)) / 86400000
    AND end_ms > :start_ms AND start_ms < :end_ms
    AND (:nodes IS NULL OR (cluster || '/' || coalesce(node, '') IN (SELECT value FROM json_each(:nodes))) = :among)
  GROUP BY end_day, holder
),
running AS (
  SELECT holder, start_ms, units * share_num AS units,
    CASE WHEN polled.at_ms > seen_ms THEN polled.at_ms ELSE seen_ms END AS stop_ms
  FROM lease_row LEFT JOIN polled ON polled.cluster = lease_row.cluster
  WHERE end_day = 4611686018427387903 / 86400000 AND start_ms < :end_ms
    AND (:nodes IS NULL OR (lease_row.cluster || '/' || coalesce(node, '') IN (SELECT value FROM json_each(:nodes))) = :among)
),
clipped AS (
  SELECT holder, units, CASE WHEN start_ms < :start_ms THEN :start_ms ELSE start_ms END AS from_ms,
    CASE WHEN stop_ms > :end_ms THEN :end_ms ELSE stop_ms END AS to_ms
  FROM running
),
summed AS (
  SELECT holder, sum(quantity) AS quantity, sum(running) AS running, sum(leases) AS leases
  FROM (
    SELECT holder, quantity, 0 AS running, leases FROM ended
    UNION ALL
    SELECT holder, CASE WHEN to_ms > from_ms THEN (to_ms - from_ms) * units ELSE 0 END, 1, 1 FROM clipped
  )
  GROUP BY holder
)
SELECT holder.holder, cluster, account, user, gres_name, gres_type, nullif(model, '') AS model, share_den, suspended, state,
  partition, qos, reservation, run, nullif(cancelled_by, -1) AS cancelled_by, vanished, quantity, running, leases
FROM summed JOIN holder ON holder.holder = summed.holder
WHERE billable = 1 - :held
ORDER BY cluster, account, user, gres_name, gres_type, model, share_den, holder.holder
