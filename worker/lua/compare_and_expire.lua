-- Extend the life of a key only if it still holds what the caller wrote: a lock that has lapsed is not revived.
--   KEYS[1]  the key
--   ARGV[1]  the value it must hold   ARGV[2]  its life from now on, ms
--   returns  1: extended   0: it held something else, or nothing
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
