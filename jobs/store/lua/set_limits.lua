-- include: job actions
-- Change how hard a portal is driven, for all workers from their next call on.
--   KEYS     1 portal hash
--   ARGV     1 set_rate, calls/s   2 set_concurrency, calls in flight   for each: '' leaves it as it is, 'default'
--            returns to the configuration   3 who asks   4 what was asked, in words
--            5 token of this request: sending it a second time changes nothing more
--   returns  1
if was_done(KEYS[1], ARGV[5]) then
  return 1
end
local fields = { 'set_rate', 'set_concurrency' }
for index, field in ipairs(fields) do
  if ARGV[index] == 'default' then
    redis.call('HDEL', KEYS[1], field)
  elseif ARGV[index] ~= '' then
    redis.call('HSET', KEYS[1], field, ARGV[index])
  end
end
note_action(KEYS[1], ARGV[3], 'limits', ARGV[4], now_ms(), ARGV[5])
return 1
