-- Where witnesses differ about what touches [:start_ms, :end_ms): for each category how often, how much, and up to five of the
-- largest. quantity / share_den is device-milliseconds. :now_ms: what is younger than :settled_ms may still be told.
WITH touching AS (
  SELECT l.*, CASE WHEN l.start_ms < :start_ms THEN :start_ms ELSE l.start_ms END AS from_ms,
    CASE WHEN l.end_ms > :end_ms THEN :end_ms ELSE l.end_ms END AS to_ms
  FROM lease l
  WHERE (l.end_day >= :start_ms / 86400000
      AND l.end_day <= (:end_ms + (SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 FROM meta WHERE key = 'longest_lease_ms'))
        / 86400000
      OR l.end_day = 4611686018427387903 / 86400000)
    AND l.end_ms > :start_ms AND l.start_ms < :end_ms
),
hooked AS (
  -- Nodes whose hooks were heard of around the window.
  SELECT cluster, node, min(at_ms) AS first_ms FROM hook_event
  WHERE at_ms < :end_ms AND at_ms >= :start_ms - 86400000 GROUP BY cluster, node
),
found AS (
  SELECT 'hooks alone' AS category, cluster, job_id, submit_ms, node, from_ms, (to_ms - from_ms) * units * share_num AS quantity, share_den,
    'prolog ' || coalesce(prolog_ms / 1000, 'none') || ', epilog ' || coalesce(epilog_ms / 1000, 'none') AS detail
  FROM touching WHERE billable = 0 AND start_evidence IN ('prolog', 'epilog') AND seen_ms < :now_ms - :settled_ms
  UNION ALL
  SELECT 'controller alone', cluster, job_id, submit_ms, node, from_ms, (to_ms - from_ms) * units * share_num, share_den, ''
  FROM touching WHERE billable = 0 AND start_evidence = 'scontrol' AND seen_ms < :now_ms - :settled_ms
  UNION ALL
  SELECT 'no device named', cluster, job_id, submit_ms, node, from_ms, (to_ms - from_ms) * units * share_num, share_den,
    CASE device_evidence WHEN 'sacct' THEN 'node known' WHEN 'inferred' THEN 'spread evenly over the nodes' ELSE 'no node known' END
  FROM touching WHERE billable = 1 AND gres_index IS NULL
  UNION ALL
  SELECT 'prolog missing', t.cluster, t.job_id, t.submit_ms, t.node, t.from_ms, (t.to_ms - t.from_ms) * t.units * t.share_num, t.share_den, ''
  FROM touching t JOIN hooked h ON h.cluster = t.cluster AND h.node = t.node AND h.first_ms <= t.start_ms
  WHERE t.prolog_ms IS NULL AND t.billable = 1 AND t.suspended = '' AND t.start_ms < :now_ms - :settled_ms
    -- It stands in the first stretch, and in no row that goes on after a change of size.
    AND NOT EXISTS (SELECT 1 FROM lease x WHERE x.cluster = t.cluster AND x.job_id = t.job_id AND x.submit_ms = t.submit_ms
      AND x.node = t.node AND x.prolog_ms IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM attempt r WHERE r.cluster = t.cluster AND r.job_id = t.job_id AND r.end_ms = t.submit_ms
      AND r.state = 'RESIZING')
  UNION ALL
  SELECT 'epilog missing', t.cluster, t.job_id, t.submit_ms, t.node, t.from_ms, (t.to_ms - t.from_ms) * t.units * t.share_num, t.share_den, ''
  FROM touching t JOIN hooked h ON h.cluster = t.cluster AND h.node = t.node AND h.first_ms <= t.end_ms
  WHERE t.epilog_ms IS NULL AND t.billable = 1 AND t.suspended = '' AND t.end_ms < :now_ms - :settled_ms
    AND NOT EXISTS (SELECT 1 FROM lease x WHERE x.cluster = t.cluster AND x.job_id = t.job_id AND x.submit_ms = t.submit_ms
      AND x.node = t.node AND x.epilog_ms IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.cluster = t.cluster AND a.job_id = t.job_id AND a.submit_ms = t.submit_ms
      AND a.state = 'RESIZING')
  UNION ALL
  SELECT 'prolog far from start', cluster, job_id, submit_ms, node, from_ms, abs(prolog_ms - start_ms) * units * share_num, share_den,
    ((prolog_ms - start_ms) / 1000) || ' s after Start'
  FROM touching
  WHERE billable = 1 AND start_evidence = 'sacct' AND suspended = '' AND (prolog_ms - start_ms > 60000 OR prolog_ms - start_ms < -2000)
  UNION ALL
  SELECT 'epilog far from end', cluster, job_id, submit_ms, node, from_ms, abs(epilog_ms - end_ms) * units * share_num, share_den,
    ((epilog_ms - end_ms) / 1000) || ' s after End'
  FROM touching
  WHERE billable = 1 AND end_evidence = 'sacct' AND suspended = '' AND (epilog_ms - end_ms > 600000 OR epilog_ms - end_ms < -2000)
  UNION ALL
  SELECT 'suspension inferred', cluster, job_id, submit_ms, node, from_ms, (to_ms - from_ms) * units * share_num, share_den, ''
  FROM touching WHERE suspended = 'inferred'
  UNION ALL
  SELECT 'vanished from accounting', t.cluster, t.job_id, t.submit_ms, t.node, t.from_ms, (t.to_ms - t.from_ms) * t.units * t.share_num, t.share_den,
    'last named ' || (t.end_ms / 1000)
  FROM touching t JOIN attempt a ON a.cluster = t.cluster AND a.job_id = t.job_id AND a.submit_ms = t.submit_ms AND a.vanished = 1
  UNION ALL
  SELECT 'suspended for longer than it ran', t.cluster, t.job_id, t.submit_ms, t.node, t.from_ms,
    (t.to_ms - t.from_ms) * t.units * t.share_num, t.share_den, 'Suspended ' || (r.suspended_ms / 1000) || ' s'
  FROM touching t
  JOIN attempt a ON a.cluster = t.cluster AND a.job_id = t.job_id AND a.submit_ms = t.submit_ms
  JOIN accounting_row r ON r.cluster = a.cluster AND r.job_id = a.job_id AND r.submit_ms = a.submit_ms AND r.digest = a.evidence
  WHERE t.suspended <> '' AND r.suspended_ms > a.end_ms - a.start_ms
  UNION ALL
  SELECT 'runs on a node that is down', t.cluster, t.job_id, t.submit_ms, t.node, t.from_ms, (t.to_ms - e.start_ms) * t.units * t.share_num, t.share_den,
    e.state || ' since ' || (e.start_ms / 1000) || ': ' || e.reason
  FROM touching t JOIN node_event e ON e.cluster = t.cluster AND e.node = t.node AND e.end_ms IS NULL AND e.class IN ('down', 'powered_down')
  WHERE t.billable = 1 AND t.end_ms = 4611686018427387903 AND e.start_ms < :end_ms AND e.start_ms < :now_ms - :settled_ms AND e.start_ms >= t.start_ms
    AND e.observed_at_ms = (SELECT max(x.observed_at_ms) FROM node_event x
      WHERE x.cluster = e.cluster AND x.node = e.node AND x.source = e.source AND x.start_ms = e.start_ms)
  UNION ALL
  SELECT 'slot not in the inventory', t.cluster, t.job_id, t.submit_ms, t.node, t.from_ms, (t.to_ms - t.from_ms) * t.units * t.share_num, t.share_den,
    'index ' || t.gres_index
  FROM touching t
  WHERE t.gres_index IS NOT NULL
    AND EXISTS (SELECT 1 FROM capacity c WHERE c.cluster = t.cluster AND c.node = t.node AND c.start_ms <= t.start_ms)
    AND NOT EXISTS (SELECT 1 FROM capacity c WHERE c.cluster = t.cluster AND c.node = t.node AND c.gres_index = t.gres_index
      AND c.start_ms < t.end_ms AND c.end_ms > t.start_ms)
  UNION ALL
  SELECT 'oversubscribed', cluster, NULL, NULL, node, from_ms, (to_ms - from_ms) * share_num, share_den,
    CASE WHEN gres_index < 0 THEN 'more on the node than it has' ELSE 'index ' || gres_index END
  FROM (
    SELECT *, CASE WHEN start_ms < :start_ms THEN :start_ms ELSE start_ms END AS from_ms,
      CASE WHEN end_ms > :end_ms THEN :end_ms ELSE end_ms END AS to_ms
    FROM device_time WHERE end_ms > :start_ms AND start_ms < :end_ms AND state = 'oversubscribed' AND class <> 'suspended'
  )
  UNION ALL
  SELECT 'set aside', NULL, NULL, NULL, NULL, observed_at_ms, 0, 1, witness || ' ' || source || ': ' || reason
  FROM set_aside WHERE observed_at_ms >= :start_ms AND observed_at_ms < :end_ms
),
ranked AS (
  SELECT *, count(*) OVER (PARTITION BY category, share_den) AS n, sum(quantity) OVER (PARTITION BY category, share_den) AS total,
    row_number() OVER (PARTITION BY category, share_den ORDER BY quantity DESC, from_ms, job_id, node) AS place
  FROM found
)
SELECT category, share_den, n, total, cluster, job_id, submit_ms, node, from_ms, quantity, detail
FROM ranked WHERE place <= 5
ORDER BY category, share_den, place
