-- The uid of each user, as the hooks told it last.
SELECT user, uid, max(at_ms) AS at_ms FROM hook_event
WHERE uid IS NOT NULL
GROUP BY user
ORDER BY user
