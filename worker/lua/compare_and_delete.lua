-- Delete a key only if it still holds the value that the caller saw: a newer token, or another worker's lock, survives.
--   KEYS[1]  the key
--   ARGV[1]  the value it must hold
--   returns  1: deleted   0: it held something else, or nothing
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
