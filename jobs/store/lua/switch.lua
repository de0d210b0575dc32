-- include: job actions gates
-- Stop all PUTs of one portal or of all, or let them go on.
--   KEYS     1 stopped hash   2… hashes of the portals that it is about
--   ARGV     1 event: stop or start   2 portal's name, or '*' for all   3 who asks
--            4 token of this request: sending it a second time changes nothing more
--   returns  1
local now, event, which = now_ms(), ARGV[1], ARGV[2]
local changed
if event == 'stop' then
  -- Whoever stopped it first stays named.
  changed = redis.call('HSETNX', KEYS[1], which, cjson.encode({ by = ARGV[3], at_ms = now }))
else
  changed = redis.call('HDEL', KEYS[1], which)
end
for index = 2, #KEYS do
  if changed == 1 then
    note_action(KEYS[index], ARGV[3], event, which == EVERYONE and 'all portals' or '', now, ARGV[4])
  end
  if event == 'start' then
    look_again_now(KEYS[index])
  end
end
return 1
