-- Every node that may write here or did, a row for each of its journals; without one where it has never been heard.
SELECT n.cluster, n.node, j.journal, j.state, j.held, j.missing, j.first_heard_ms, j.last_heard_ms, j.clock_ahead_ms,
  j.version, j.said, coalesce(r.beyond, 0) AS beyond,
  CASE WHEN t.node IS NULL THEN 0 ELSE 1 END AS enrolled
FROM (
  SELECT cluster, node FROM node_journal
  UNION
  SELECT cluster, node FROM node_token WHERE revoked_ms IS NULL
) n
LEFT JOIN node_journal j ON j.cluster = n.cluster AND j.node = n.node
LEFT JOIN node_refusal r ON r.cluster = n.cluster AND r.node = n.node
LEFT JOIN (SELECT DISTINCT cluster, node FROM node_token WHERE revoked_ms IS NULL) t
  ON t.cluster = n.cluster AND t.node = n.node
ORDER BY n.cluster, n.node, j.state, j.journal
