-- Shared by the scripts: keep who did what in the hash that it was done to, so that it lives as long as that. Field
-- actions: JSON, a list of {at_ms, by, action, detail}, oldest first. A detail is text, or the milliseconds until which
-- the portal had asked for a rest that the action has ended.
--
-- A connection may break before the reply gets through; the client then sends the same request again. Field asked: the
-- token of the last request that was carried out, by which it is known again.

local MOST_ACTIONS = 100

local function was_done(key, token)
  return redis.call('HGET', key, 'asked') == token
end

local function note_action(key, by, action, detail, now, token)
  local actions = cjson.decode(redis.call('HGET', key, 'actions') or '[]')
  if #actions >= MOST_ACTIONS then
    table.remove(actions, 1)
  end
  if detail == '' then
    detail = nil
  end
  actions[#actions + 1] = { at_ms = now, by = by, action = action, detail = detail }
  redis.call('HSET', key, 'actions', cjson.encode(actions))
  if token then
    redis.call('HSET', key, 'asked', token)
  end
end
