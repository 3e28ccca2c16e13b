-- All that the partition check adds up, node by node, in one period: what existed, who held it, what the rest was.
-- num / den devices in [start_ms, end_ms), clipped to the period. gres_index -1 is the node's; NULL: a lease known by node alone.
-- Parameters: :start_ms, :end_ms (end exclusive).
WITH said AS (
  SELECT cluster, node, gres_index, 'capacity' AS state, start_ms, end_ms, 1 AS num, 1 AS den FROM capacity
  UNION ALL
  SELECT cluster, node, gres_index, state, start_ms, end_ms, share_num, share_den FROM device_time
  WHERE end_ms > :start_ms
  UNION ALL
  SELECT cluster, node, gres_index, 'lease', start_ms, end_ms, units * share_num, share_den FROM lease
  WHERE node IS NOT NULL AND end_ms > :start_ms AND end_day >= :start_ms / 86400000
    AND end_day <= (:end_ms + (SELECT coalesce(max(CAST(value AS INTEGER)), 0) + 1 FROM meta WHERE key = 'longest_lease_ms'))
      / 86400000
  UNION ALL
  SELECT cluster, node, gres_index, 'lease', start_ms, end_ms, units * share_num, share_den FROM lease
  WHERE node IS NOT NULL AND end_day = 4611686018427387903 / 86400000
)
SELECT cluster, node, gres_index, state, num, den,
  CASE WHEN start_ms < :start_ms THEN :start_ms ELSE start_ms END AS start_ms,
  CASE WHEN end_ms > :end_ms THEN :end_ms ELSE end_ms END AS end_ms
FROM said
WHERE start_ms < :end_ms AND end_ms > :start_ms AND start_ms < end_ms
ORDER BY cluster, node
