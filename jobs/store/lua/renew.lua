-- include: clock lease
-- Renew a lease while a call is in flight. A lapsed lease is not revived: another lane may have its batch.
--   KEYS[1]  portal hash
--   ARGV     1 lane token   2 ttl_ms
--   returns  1: the lease is held   0: it has lapsed
return keep_lease(KEYS[1], ARGV[1], math.floor(wakeful_us() / 1000), tonumber(ARGV[2])) and 1 or 0
