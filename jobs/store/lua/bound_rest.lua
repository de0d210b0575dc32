-- include: job pace
-- Bound a rest that was kept before there was a bound, or with another one: nobody would ask for a batch until it is over.
--   KEYS[1]  portal hash
--   ARGV     1 longest_ms
--   returns  until when the portal rests, in milliseconds; 0 or a time that has passed if it does not
return bound_rest(KEYS[1], now_ms(), tonumber(ARGV[1]))
