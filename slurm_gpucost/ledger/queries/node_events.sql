-- All that was told of times before :end_ms in which nodes could not be used, in order of node. Of each event the latest word stands.
SELECT cluster, node, source, start_ms, observed_at_ms, end_ms, class AS class_, state, reason, user
FROM node_event
WHERE start_ms < :end_ms
ORDER BY cluster, node, observed_at_ms
