-- Who issued and revoked tokens, looked at cost items or acted for somebody, oldest first; all of it, or what was done by a user or concerns him.
SELECT seq, at_ms, login, uid, host, terminal, what, why
FROM change_log c
WHERE subject = 'access' AND (
  :user IS NULL OR login = :user OR EXISTS (SELECT 1 FROM json_each(c.what, '$.users') WHERE value = :user)
)
ORDER BY seq
