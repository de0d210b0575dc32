-- Shared by the scripts: the steady clock. Spans of time are measured on it: leases, turns, rests, and when something is
-- due. The server's own clock can be set, and after a fail-over it is another server's, so it may jump by minutes at any
-- moment. It is for what people see, and for what the calendar decides.
--
--   CLOCK  hash: steady_us   what the steady clock showed at the last tick
--                wall_us     what the server's clock showed then
--                asleep      '1' once the last worker has left: all of the time until the next tick counts
--
-- Workers tick about twice a second. Between two ticks the steady clock goes as the server's does, but never back, and
-- never by more than LONGEST_TICK_MS. So a jump of any size moves it by no more than that, and while the server is
-- away, or no worker ticks, it stands still. It has no zero of its own: it begins with what the server's clock shows.
-- Without the key, it is the server's clock. jobs/store/clock.py reads it in the same way.

-- Returns the steady clock and the server's, in microseconds, whether there is a steady clock of its own, and whether that
-- is asleep.
local function steady_us()
  local time = redis.call('TIME')
  local wall = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local kept = redis.call('HMGET', CLOCK, 'steady_us', 'wall_us', 'asleep')
  if not kept[1] then
    return wall, wall, false, false
  end
  local since = math.max(wall - tonumber(kept[2]), 0)
  if not kept[3] then
    since = math.min(since, LONGEST_TICK_MS * 1000)
  end
  return tonumber(kept[1]) + since, wall, true, kept[3] ~= false
end

-- Likewise, in milliseconds.
local function steady_ms()
  local steady, wall = steady_us()
  return math.floor(steady / 1000), math.floor(wall / 1000)
end

-- A tick: from now on the steady clock is what steady_us returned.
local function tick(steady, wall)
  redis.call('HSET', CLOCK, 'steady_us', steady, 'wall_us', wall)
end

-- Ticks, and wakes the clock if it is asleep: somebody relies on it. Returns it and the server's, in microseconds.
local function awake_us()
  local steady, wall = steady_us()
  tick(steady, wall)
  redis.call('HDEL', CLOCK, 'asleep')
  return steady, wall
end

-- Likewise, for whoever takes or renews a lease, perhaps before any worker has ticked. It ticks only if it has to.
local function wakeful_us()
  local steady, wall, is_kept, is_asleep = steady_us()
  if is_kept and not is_asleep then
    return steady, wall
  end
  return awake_us()
end
