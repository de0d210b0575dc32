-- Put messages into arq's queue, and tell idle workers, so that none of them has to look for itself first. A message
-- that is already there stays as it is.
--   KEYS[1]  arq's queue
--   ARGV     1 the message as arq writes it, the same for all   2 when it is due, Unix milliseconds on the sender's clock
--            3 in how many milliseconds that is   4 life_ms: how long it is kept if nobody reads it
--            5 crowded: with more unread wake-ups than this, no more are added   6… IDs of the messages
--   returns  how many were added
local due_ms, in_ms, life_ms, added = ARGV[2], ARGV[3], ARGV[4], 0
-- Messages that are deferred wait for no worker. That of a lane stays in the queue while it is driven.
local waiting = redis.call('ZCOUNT', KEYS[1], '-inf', due_ms - in_ms)
if waiting > tonumber(ARGV[5]) then
  for _, portal in ipairs(redis.call('ZRANGE', KNOWN_PORTALS, 0, -1)) do
    waiting = waiting - redis.call('ZCARD', PORTAL .. portal .. LEASES)
  end
end
if waiting > tonumber(ARGV[5]) then
  return 0
end
for index = 6, #ARGV do
  if redis.call('SET', MESSAGE .. ARGV[index], ARGV[1], 'PX', life_ms, 'NX') then
    redis.call('ZADD', KEYS[1], due_ms, ARGV[index])
    added = added + 1
  end
end
if added > 0 then
  -- A user without the right to publish loses the nudge, and nothing else.
  redis.pcall('PUBLISH', NUDGE, in_ms)
end
return added
