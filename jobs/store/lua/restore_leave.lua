-- Give back the lease of a portal's restores.
--   KEYS[1]  the portal's lease of restores
--   ARGV     1 token
--   returns  1: it was held   0: another process holds it
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
  return 0
end
redis.call('UNLINK', KEYS[1])
return 1
