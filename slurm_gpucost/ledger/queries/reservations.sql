-- Reservations that touch [:start_ms, :end_ms), by cluster and beginning; of each row of slurmdbd the latest word stands. stop_ms:
-- up to when it counts: its end, of one that lasts the last look at the reservations, and never beyond the last at the accounting.
WITH latest AS (
  SELECT cluster, id, start_ms, max(observed_at_ms) AS observed_at_ms
  FROM reservation_report
  WHERE start_ms < :end_ms
  GROUP BY cluster, id, start_ms
),
looked AS (
  SELECT cluster, max(CASE WHEN witness = 'reservations' THEN observed_at_ms END) AS at_ms,
    max(CASE WHEN witness = 'sacct' THEN observed_at_ms END) AS heard_ms
  FROM source_poll
  WHERE ok = 1 AND current = 1
  GROUP BY cluster
),
known AS (
  SELECT r.*, CASE WHEN looked.at_ms > r.observed_at_ms THEN looked.at_ms ELSE r.observed_at_ms END AS known_ms, looked.heard_ms
  FROM latest JOIN reservation_report r
    ON r.cluster = latest.cluster AND r.id = latest.id AND r.start_ms = latest.start_ms
    AND r.observed_at_ms = latest.observed_at_ms
  LEFT JOIN looked ON looked.cluster = r.cluster
),
counted AS (
  SELECT k.*, CASE WHEN k.heard_ms < k.known_ms THEN k.heard_ms ELSE k.known_ms END AS upto_ms FROM known k
)
SELECT cluster, id, start_ms, end_ms, name, accounts, associations, nodes, tres, flags, listed,
  CASE WHEN end_ms < upto_ms THEN end_ms ELSE upto_ms END AS stop_ms
FROM counted
WHERE end_ms > :start_ms AND upto_ms > :start_ms
ORDER BY cluster, start_ms, id
