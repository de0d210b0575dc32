-- include: clock job pace
-- Shorten a rest that was recorded under a longer limit, or under none: until it is over, no lane asks for a batch.
--   KEYS[1]  portal hash
--   ARGV     1 longest_ms
--   returns  until when the portal rests, in milliseconds on the steady clock; 0 or a time in the past if it does not
return bound_rest(KEYS[1], steady_ms(), tonumber(ARGV[1]))
