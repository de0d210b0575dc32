-- Let a key live on only if it still holds what the caller wrote: a lock that has lapsed is not revived.
--   KEYS[1]  the key
--   ARGV[1]  the value it must hold   ARGV[2]  for how long from now, ms
--   returns  1: it lives on   0: it held something else, or nothing
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
