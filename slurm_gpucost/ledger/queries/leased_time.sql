-- Device time of all leases in [:start_ms, :end_ms), billed or not, by cluster, kind and suspension: integers only.
-- quantity / share_den is device-milliseconds; named: of it on a slot that a witness named; before_prolog: of it before the
-- prolog, when the job has not the device yet. What runs counts up to the end of the window: give one that was looked at.
-- :nodes is NULL, or a JSON array of CLUSTER/NODE: then only what is on one of these with :among 1, on none with 0.
WITH longest AS (
  SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 AS ms FROM meta WHERE key = 'longest_lease_ms'
),
clipped AS (
  SELECT end_day, holder, gres_index, prolog_ms, start_ms, units * share_num AS units,
    CASE WHEN start_ms < :start_ms THEN :start_ms ELSE start_ms END AS from_ms,
    CASE WHEN end_ms > :end_ms THEN :end_ms ELSE end_ms END AS to_ms
  FROM lease_row
  WHERE end_day >= :start_ms / 86400000 AND end_day <= (:end_ms + (SELECT ms FROM longest)) / 86400000
    AND end_ms > :start_ms AND start_ms < :end_ms
    AND (:nodes IS NULL OR (cluster || '/' || coalesce(node, '') IN (SELECT value FROM json_each(:nodes))) = :among)
),
running AS (
  SELECT end_day, holder, gres_index, prolog_ms, start_ms, units * share_num AS units,
    CASE WHEN start_ms < :start_ms THEN :start_ms ELSE start_ms END AS from_ms, :end_ms AS to_ms
  FROM lease_row WHERE end_day = 4611686018427387903 / 86400000 AND start_ms < :end_ms
    AND (:nodes IS NULL OR (cluster || '/' || coalesce(node, '') IN (SELECT value FROM json_each(:nodes))) = :among)
),
summed AS (
  SELECT holder, sum((to_ms - from_ms) * units) AS quantity,
    sum(CASE WHEN gres_index IS NULL THEN 0 ELSE (to_ms - from_ms) * units END) AS named,
    sum(CASE WHEN prolog_ms <= start_ms OR prolog_ms IS NULL OR from_ms > start_ms THEN 0
      WHEN prolog_ms > to_ms THEN (to_ms - from_ms) * units ELSE (prolog_ms - from_ms) * units END) AS before_prolog
  FROM clipped GROUP BY end_day, holder
  UNION ALL
  SELECT holder, (to_ms - from_ms) * units, CASE WHEN gres_index IS NULL THEN 0 ELSE (to_ms - from_ms) * units END,
    CASE WHEN prolog_ms <= start_ms OR prolog_ms IS NULL OR from_ms > start_ms THEN 0
      WHEN prolog_ms > to_ms THEN (to_ms - from_ms) * units ELSE (prolog_ms - from_ms) * units END
  FROM running
)
SELECT cluster, gres_name, gres_type, nullif(model, '') AS model, billable, suspended <> '' AS suspended, share_den,
  sum(quantity) AS quantity, sum(named) AS named, sum(before_prolog) AS before_prolog
FROM summed JOIN holder ON holder.holder = summed.holder
GROUP BY 1, 2, 3, 4, 5, 6, 7
ORDER BY 1, 2, 3, 4, 5, 6, 7
