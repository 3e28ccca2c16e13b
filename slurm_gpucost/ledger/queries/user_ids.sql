-- The uids of these users (a JSON array), as the hooks told them last.
SELECT user, uid, max(at_ms) AS at_ms FROM hook_event
WHERE uid IS NOT NULL AND user IN (SELECT value FROM json_each(:users))
GROUP BY user
ORDER BY user
