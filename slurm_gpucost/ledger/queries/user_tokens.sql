-- Every token of users that was issued, oldest first.
SELECT digest, user, issued_ms, expires_ms, issued_by, revoked_ms
FROM user_token
ORDER BY issued_ms, digest
