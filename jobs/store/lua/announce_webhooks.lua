-- include: clock
-- Say which webhooks are configured: from now on, events are kept for them. Forget those that nobody has named for long,
-- with everything that waits for them.
--   KEYS     1 webhooks hash
--   ARGV     1 lasts_ms: how long they count as configured   2… name, JSON {events, portals}; for each webhook
--   returns  the names that were forgotten
local now, forgotten = steady_ms(), {}
for index = 2, #ARGV, 2 do
  local told = cjson.decode(ARGV[index + 1])
  told.until_ms = now + tonumber(ARGV[1])
  redis.call('HSET', KEYS[1], ARGV[index], cjson.encode(told))
end
local webhooks = redis.call('HGETALL', KEYS[1])
for index = 1, #webhooks, 2 do
  if cjson.decode(webhooks[index + 1]).until_ms <= now then
    local webhook = WEBHOOK .. webhooks[index]
    for _, stream in ipairs(redis.call('ZRANGE', webhook .. DUE_EVENTS, 0, -1)) do
      redis.call('UNLINK', webhook .. EVENTS .. stream)
    end
    redis.call('UNLINK', webhook, webhook .. DUE_EVENTS, webhook .. SENDING, webhook .. UNSENT, webhook .. DELIVERIES)
    redis.call('HDEL', KEYS[1], webhooks[index])
    forgotten[#forgotten + 1] = webhooks[index]
  end
end
return forgotten
