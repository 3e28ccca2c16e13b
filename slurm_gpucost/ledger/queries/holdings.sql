-- Who held :devices (a JSON list) in [:start_ms, :end_ms): leases that name a device. Running ones end at 4611686018427387903.
SELECT l.cluster, l.job_id, l.submit_ms, l.n, l.device, l.start_ms, l.end_ms, l.suspended, l.units * l.share_num AS share_num,
  l.share_den, l.user, CASE WHEN l.epilog_ms > l.end_ms THEN l.epilog_ms ELSE l.end_ms END AS released_ms
FROM lease l
WHERE l.device IN (SELECT value FROM json_each(:devices)) AND l.start_ms < :end_ms AND (l.end_ms > :start_ms OR l.epilog_ms > :start_ms)
  AND (l.end_day >= :start_ms / 86400000 - 1
    AND l.end_day <= (:end_ms + (SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 FROM meta WHERE key = 'longest_lease_ms'))
      / 86400000
    OR l.end_day = 4611686018427387903 / 86400000)
ORDER BY l.cluster, l.job_id, l.submit_ms, l.n
