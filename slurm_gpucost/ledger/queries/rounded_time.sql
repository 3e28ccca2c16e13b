-- What rounding adds to the device time of attempts that ended in (:start_ms, :end_ms] and were never suspended: each duration
-- lengthened to :minimum_ms and to whole steps of :step_ms. added / share_den is device-milliseconds, before any rule's factor.
-- Left out: what special_leases told one by one, the attempts in :without, a JSON array of [cluster, job_id, submit_ms].
-- :nodes is NULL, or a JSON array of CLUSTER/NODE: then only what is on one of these with :among 1, on none with 0.
WITH without AS MATERIALIZED (
  SELECT json_extract(value, '$[0]') AS cluster, json_extract(value, '$[1]') AS job_id,
    json_extract(value, '$[2]') AS submit_ms
  FROM json_each(:without)
),
ended AS (
  SELECT l.holder, l.end_ms - l.start_ms AS ms, l.units * l.share_num AS units
  FROM lease_row l JOIN attempt a ON a.cluster = l.cluster AND a.job_id = l.job_id AND a.submit_ms = l.submit_ms
  WHERE l.end_day >= :start_ms / 86400000 AND l.end_day <= :end_ms / 86400000
    AND l.end_ms > :start_ms AND l.end_ms <= :end_ms AND l.end_ms > l.start_ms
    AND (:nodes IS NULL OR (l.cluster || '/' || coalesce(l.node, '') IN (SELECT value FROM json_each(:nodes))) = :among)
    AND a.suspended_ms = 0 AND a.end_ms IS NOT NULL AND a.billable = 1
    AND (l.cluster, l.job_id, l.submit_ms) NOT IN (SELECT cluster, job_id, submit_ms FROM without)
)
SELECT holder, sum((((CASE WHEN ms < :minimum_ms THEN :minimum_ms ELSE ms END) + :step_ms - 1) / :step_ms * :step_ms - ms)
  * units) AS added
FROM ended
GROUP BY holder
ORDER BY holder
