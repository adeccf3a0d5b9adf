"""What runs inside Redis: one Lua script for each thing that must happen as a whole.

All keys begin with ``{prefix}:``, so that they are in one slot of a cluster::

    {p}:meta            hash: epoch, seq and id of the last event, fence, places, max_events, and ``void:…``:
                        attempts that mustn't be made any more
    {p}:events          stream, the journal: entry ``seq-0``, and ``seq-1`` … if it has many changes
    {p}:bucket:NAME     hash: field → JSON value
    {p}:order:NAME      sorted set: field → its place; a hash knows no order
    {p}:writers:NAME    hash: field → lines seq, time, refers_to, actor and op of the event that last wrote it
    {p}:versions        hash: bucket → number of the last event that changed it
    {p}:buckets         sorted set: bucket → its place in the list
    {p}:dropped         sorted set: bucket that went off the list → its version then, to be forgotten some day
    {p}:expiry          sorted set: bucket → when it expires, in seconds since the epoch, by the server's clock
    {p}:labels          hash: name → MessagePack [seq, contents]
    {p}:locks           hash: bucket → JSON [fence, process, waiter, who]
    {p}:waits           hash: waiter → JSON [process, who, [buckets that it wants], [those that it holds]]
    {p}:process:TOKEN   string that Redis deletes when the lease is over: the locks and waits of that process are void

A script that fails must have changed nothing. What can fail is a key of another type, which is read before anything
is written, and the first command that writes (no memory, a replica, no disk): Redis refuses no later one of a script.
"""

from __future__ import annotations

import hashlib

import msgspec

from qstate_nb.stores.backend import EXPIRY


class Script(msgspec.Struct, frozen=True):
    """A script and what Redis calls it."""

    text: bytes
    sha: bytes


# KEYS: meta, events, and the hashes of buckets that the script is about
_HEAD = """
local call = redis.call
local META, EVENTS = KEYS[1], KEYS[2]
local P = string.sub(META, 1, -5)
local time = call('TIME')
local now = time[1] + time[2] / 1000000
"""

# each is put before a script that uses it
_FUNCTIONS = """
local function begun()
  local micros = string.format('%.0f', now * 1000000)
  call('HSET', META, 'epoch', micros)
  return micros
end

local function number(value)
  return string.format('%.0f', value)
end

local function holder(bucket)
  local found = call('HGET', P .. 'locks', bucket)
  if not found then return nil end
  local lock = cjson.decode(found)
  if call('EXISTS', P .. 'process:' .. lock[2]) == 1 then return lock end
  call('HDEL', P .. 'locks', bucket)
  return nil
end

local function place()
  return call('HINCRBY', META, 'places', 1)
end

local function off(bucket) -- its version stays as long as the events of its time
  call('DEL', P .. 'bucket:' .. bucket, P .. 'order:' .. bucket, P .. 'writers:' .. bucket)
  call('ZREM', P .. 'buckets', bucket)
  call('ZREM', P .. 'expiry', bucket)
  local version = call('HGET', P .. 'versions', bucket)
  if version then call('ZADD', P .. 'dropped', version, bucket) end
  local found = call('HMGET', META, 'seq', 'max_events')
  local most = tonumber(found[2]) or 0
  if most == 0 then return end
  local before = number((tonumber(found[1]) or 0) - most)
  for _, name in ipairs(call('ZRANGEBYSCORE', P .. 'dropped', '-inf', before, 'LIMIT', 0, 9)) do
    call('ZREM', P .. 'dropped', name)
    if not call('ZSCORE', P .. 'buckets', name) then call('HDEL', P .. 'versions', name) end
  end
end

local function put(bucket, field, after, writer)
  if after then
    if call('HSET', P .. 'bucket:' .. bucket, field, after) == 1 then
      call('ZADD', P .. 'order:' .. bucket, place(), field)
    end
    call('HSET', P .. 'writers:' .. bucket, field, writer)
  else
    call('HDEL', P .. 'bucket:' .. bucket, field)
    call('ZREM', P .. 'order:' .. bucket, field)
    call('HDEL', P .. 'writers:' .. bucket, field)
  end
end

-- changes: a list of {bucket, field, after or nil}; befores: a list, false where nothing was
local function journal(seq, at, max, id, op, refers, actor, changes, befores, drops)
  local name = number(seq)
  local entry, n -- the nils make room, so that the table isn't copied
  if max then
    entry = {'XADD', EVENTS, 'MINID', '~', number(math.max(seq - max + 1, 0)), name .. '-0', 'id', id, 'time', at,
             'op', op, 'actor', actor, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil}
    n = 14
  else
    entry = {'XADD', EVENTS, name .. '-0', 'id', id, 'time', at, 'op', op, 'actor', actor}
    n = 11
  end
  if #refers > 0 then
    entry[n + 1], entry[n + 2] = 'refers_to', cjson.encode(refers)
    n = n + 2
  end
  if #drops > 0 then
    entry[n + 1], entry[n + 2] = 'drops', cjson.encode(drops)
    n = n + 2
  end
  local part = 0
  for i, change in ipairs(changes) do
    if n > 4000 then -- Lua can't unpack much more
      call(unpack(entry, 1, n))
      part = part + 1
      entry = {'XADD', EVENTS, name .. '-' .. part}
      n = 3
    end
    entry[n + 1], entry[n + 2], entry[n + 3], entry[n + 4] = 'bucket', change[1], 'field', change[2]
    n = n + 4
    if befores[i] then
      entry[n + 1], entry[n + 2] = 'before', befores[i]
      n = n + 2
    end
    if change[3] then
      entry[n + 1], entry[n + 2] = 'after', change[3]
      n = n + 2
    end
  end
  call(unpack(entry, 1, n))
end

local function write(seq, max, id, op, refers, actor, changes, befores, drops)
  local at = string.format('%.6f', now)
  local writer = table.concat({seq, at, refers[1] and cjson.encode(refers) or '[]', actor, op}, '\\n')
  call('HSET', META, 'seq', seq, 'id', id)
  journal(seq, at, max, id, op, refers, actor, changes, befores, drops)
  local last
  for _, change in ipairs(changes) do
    local bucket = change[1]
    put(bucket, change[2], change[3], writer)
    if bucket ~= last then
      call('HSET', P .. 'versions', bucket, seq)
      if not call('ZSCORE', P .. 'buckets', bucket) then call('ZADD', P .. 'buckets', place(), bucket) end
      last = bucket
    end
  end
  return at
end

local function expire(bucket) -- whether there is an event of it
  local due = call('ZSCORE', P .. 'expiry', bucket)
  if not due or tonumber(due) > now or holder(bucket) then return false end
  local changes, befores = {}, {}
  for i, field in ipairs(call('ZRANGE', P .. 'order:' .. bucket, 0, -1)) do
    changes[i] = {bucket, field}
    befores[i] = call('HGET', P .. 'bucket:' .. bucket, field)
  end
  if #changes > 0 then
    local seq = (tonumber(call('HGET', META, 'seq')) or 0) + 1
    write(seq, nil, 'expire:' .. number(now * 1000000), 'expire', {}, '__EXPIRY__', changes, befores, {bucket})
  end
  off(bucket)
  return #changes > 0
end

local function expire_all()
  for _, bucket in ipairs(call('ZRANGEBYSCORE', P .. 'expiry', '-inf', string.format('%.6f', now))) do
    expire(bucket)
  end
end

local function set_expiry(bucket, seconds)
  if not seconds then
    call('ZREM', P .. 'expiry', bucket)
  elseif call('ZSCORE', P .. 'buckets', bucket) then
    call('ZADD', P .. 'expiry', string.format('%.6f', now + seconds), bucket)
  end
end

local function stored(bucket)
  return {
    tonumber(call('HGET', P .. 'versions', bucket)) or 0,
    call('HGETALL', P .. 'bucket:' .. bucket),
    call('ZRANGE', P .. 'order:' .. bucket, 0, -1),
  }
end

local function void(attempt, deadline) -- those whose time is over can't be made in any case
  for _, field in ipairs(call('HKEYS', META)) do
    if string.sub(field, 1, 5) == 'void:' and tonumber(call('HGET', META, field)) < now then
      call('HDEL', META, field)
    end
  end
  call('HSET', META, 'void:' .. attempt, deadline)
end

-- ARGV of those that ask this: deadline, attempt, [attempts before of which nobody knows what became]
local function is_late()
  if now > tonumber(ARGV[1]) or call('HEXISTS', META, 'void:' .. ARGV[2]) == 1 then return true end
  for _, attempt in ipairs(cmsgpack.unpack(ARGV[3])) do void(attempt, ARGV[1]) end
  return false
end

local function current()
  local found = call('HMGET', META, 'epoch', 'seq', 'id')
  return found[1] or begun(), tonumber(found[2]) or 0, found[3] or ''
end
"""

_BODIES = {
    # ARGV: bucket, field. Gives 0 if the bucket has expired
    "read_field": """
local due = redis.call('ZSCORE', KEYS[2], ARGV[1])
if due then
  local time = redis.call('TIME')
  if tonumber(due) <= time[1] + time[2] / 1000000 then return 0 end
end
return redis.call('HGET', KEYS[1], ARGV[2])
""",
    # ARGV: bucket. Gives the epoch, number and id of the last event, and the bucket
    "read": """
expire(ARGV[1])
local epoch, seq, id = current()
return {epoch, seq, id, stored(ARGV[1])}
""",
    # ARGV: what is to be done, process, most events or '', epoch, attempt, deadline
    "commit": """
local found = call('HMGET', META, 'epoch', 'seq', 'void:' .. ARGV[5])
local epoch, seq = found[1] or begun(), tonumber(found[2]) or 0
if now > tonumber(ARGV[6]) or found[3] then return {'late'} end
if epoch ~= ARGV[4] then return {'epoch', epoch} end
local c = cmsgpack.unpack(ARGV[1])
local n = #KEYS
local names = {}
for i = 3, n do
  local name = string.sub(KEYS[i], #P + 8)
  names[i] = name
  local fence = c.fences[name]
  if fence then
    local lock = holder(name)
    if not lock or lock[1] ~= number(fence) or lock[2] ~= ARGV[2] then return {'lost', name} end
  end
end
for i = 3, n do
  if not c.fences[names[i]] then
    local lock = holder(names[i])
    if lock then return {'held', names[i], lock[4]} end
    if expire(names[i]) then seq = seq + 1 end
  end
end
local is_stale = c.last and c.last ~= seq
for name, version in pairs(c.versions) do
  if (tonumber(call('HGET', P .. 'versions', name)) or 0) ~= version then
    is_stale = true
    break
  end
end
if is_stale then
  local answer = {'stale', current()}
  for i = 3, n do
    if c.versions[names[i]] then
      answer[#answer + 1] = names[i]
      answer[#answer + 1] = stored(names[i])
    end
  end
  return answer
end
local befores = {}
local seen = {}
for i, change in ipairs(c.changes) do
  local key = P .. 'bucket:' .. change[1]
  local name = #c.changes > 1 and #key .. key .. change[2]
  local before
  if name then before = seen[name] end
  if before == nil then before = call('HGET', key, change[2]) end
  befores[i] = before
  if name then seen[name] = change[3] or false end
end
local answer = {'done', 0, ''}
if #c.changes > 0 or #c.refers_to > 0 then
  seq = seq + 1
  answer[2] = seq
  answer[3] = write(seq, tonumber(ARGV[3]), c.id, c.op, c.refers_to, c.actor, c.changes, befores, c.drops)
end
for _, of in ipairs(c.expires) do set_expiry(of[1], of[2]) end
for _, name in ipairs(c.drops) do off(name) end
for name in pairs(c.fences) do call('HDEL', P .. 'locks', name) end
for i, before in ipairs(befores) do answer[i + 3] = before end
return answer
""",
    # ARGV: deadline, attempt, attempts before, process, lease in milliseconds, waiter, who, [wanted, held]
    "acquire": """
if is_late() then return {'late'} end
local token, waiter, who = ARGV[4], ARGV[6], ARGV[7]
local wanted, held = unpack(cmsgpack.unpack(ARGV[8]))
call('SET', P .. 'process:' .. token, '1', 'PX', ARGV[5])
local blocked, blocker
for _, bucket in ipairs(wanted) do
  expire(bucket)
  local lock = holder(bucket)
  if lock and not (lock[2] == token and lock[3] == waiter) then
    blocked, blocker = bucket, lock
    break
  end
end
if not blocked then
  call('HDEL', P .. 'waits', waiter)
  local answer = {'done', current()}
  for _, bucket in ipairs(wanted) do
    local lock = holder(bucket) -- from an attempt whose answer was lost
    local fence = lock and lock[1]
    if not fence then -- never used again, even if the data goes back
      fence = number(math.max((tonumber(call('HGET', META, 'fence')) or 0) + 1, now * 1000000))
      call('HSET', META, 'fence', fence)
      call('HSET', P .. 'locks', bucket, cjson.encode({fence, token, waiter, who}))
    end
    answer[#answer + 1] = bucket
    answer[#answer + 1] = fence
    answer[#answer + 1] = stored(bucket)
  end
  return answer
end

call('HSET', P .. 'waits', waiter, cjson.encode({token, who, wanted, held}))
local mine = {}
for _, bucket in ipairs(held) do mine[bucket] = true end
local waits = {} -- bucket: those who wait and hold it
local all = call('HGETALL', P .. 'waits')
for i = 1, #all, 2 do
  if all[i] ~= waiter then
    local wait = cjson.decode(all[i + 1])
    if call('EXISTS', P .. 'process:' .. wait[1]) == 0 then
      call('HDEL', P .. 'waits', all[i])
    else
      for _, bucket in ipairs(wait[4]) do
        waits[bucket] = waits[bucket] or {}
        table.insert(waits[bucket], wait)
      end
    end
  end
end
local seen, path = {}, {}
local function reaches(bucket) -- the path is who waits, and for what
  if mine[bucket] then return true end
  if seen[bucket] then return false end
  seen[bucket] = true
  local lock = waits[bucket] and holder(bucket)
  if not lock then return false end
  for _, wait in ipairs(waits[bucket]) do
    for _, wants in ipairs(wait[1] == lock[2] and wait[3] or {}) do
      path[#path + 1] = {wait[2], wants, wait[4]}
      if reaches(wants) then return true end
      path[#path] = nil
    end
  end
  return false
end
for _, bucket in ipairs(#held > 0 and wanted or {}) do
  if reaches(bucket) then
    call('HDEL', P .. 'waits', waiter)
    return {'deadlock', bucket, path}
  end
end
return {'held', blocked, blocker[4]}
""",
    # ARGV: process, {bucket: fence}, [waiters who wait no longer, and whose locks are let go of]
    "release": """
for bucket, fence in pairs(cmsgpack.unpack(ARGV[2])) do
  local lock = holder(bucket)
  if lock and lock[1] == number(fence) and lock[2] == ARGV[1] then call('HDEL', P .. 'locks', bucket) end
end
local gone = {}
for _, waiter in ipairs(cmsgpack.unpack(ARGV[3])) do
  gone[waiter] = true
  call('HDEL', P .. 'waits', waiter)
end
local all = next(gone) and call('HGETALL', P .. 'locks') or {}
for i = 1, #all, 2 do
  local lock = cjson.decode(all[i + 1])
  if lock[2] == ARGV[1] and gone[lock[3]] then call('HDEL', P .. 'locks', all[i]) end
end
return {'done'}
""",
    # ARGV: epoch, seq. Gives nothing, or the entries of all events after that one
    "since": """
expire_all()
local epoch, last = current()
local after = tonumber(ARGV[2])
if epoch ~= ARGV[1] or after > last then return false end
if after == last then return {} end
local oldest = call('XRANGE', EVENTS, '-', '+', 'COUNT', 1)[1]
if not oldest then return false end
local first, part = string.match(oldest[1], '^(%d+)-(%d+)$')
if tonumber(first) + (part == '0' and 0 or 1) > after + 1 then return false end
return call('XRANGE', EVENTS, number(after + 1), '+')
""",
    # Gives epoch, number and id of the last event, entries, labels, and for each bucket its name, what it has, and
    # its writers
    "load": """
expire_all()
local epoch, seq, id = current()
local answer = {epoch, seq, id, call('XRANGE', EVENTS, '-', '+'), call('HGETALL', P .. 'labels')}
for _, bucket in ipairs(call('ZRANGE', P .. 'buckets', 0, -1)) do
  answer[#answer + 1] = bucket
  answer[#answer + 1] = stored(bucket)
  answer[#answer + 1] = call('HGETALL', P .. 'writers:' .. bucket)
end
return answer
""",
    # ARGV: deadline, attempt, attempts before, epoch, seq, events, buckets, labels
    "replace": """
if is_late() then return {'late'} end
if call('HGET', META, 'epoch') == ARGV[4] then return {'done'} end
for _, bucket in ipairs(call('HKEYS', P .. 'locks')) do
  local lock = holder(bucket)
  if lock then return {'held', bucket, lock[4]} end
end
call('HSET', META, 'epoch', ARGV[4], 'seq', ARGV[5], 'id', '-')
for _, bucket in ipairs(call('ZRANGE', P .. 'buckets', 0, -1)) do off(bucket) end
call('DEL', EVENTS, P .. 'labels', P .. 'versions', P .. 'dropped')
for _, e in ipairs(cmsgpack.unpack(ARGV[6])) do -- seq, time, op, refers_to, actor, changes, befores, drops
  journal(e[1], e[2], nil, '-', e[3], e[4], e[5], e[6], e[7], e[8])
end
local most = tonumber(call('HGET', META, 'max_events')) or 0
if most > 0 then call('XTRIM', EVENTS, 'MINID', number(math.max(tonumber(ARGV[5]) - most + 1, 0))) end
for _, of in ipairs(cmsgpack.unpack(ARGV[7])) do -- bucket, version, {field, value, writer or nil}…
  call('ZADD', P .. 'buckets', place(), of[1])
  call('HSET', P .. 'versions', of[1], of[2])
  for _, f in ipairs(of[3]) do
    call('HSET', P .. 'bucket:' .. of[1], f[1], f[2])
    call('ZADD', P .. 'order:' .. of[1], place(), f[1])
    if f[3] then call('HSET', P .. 'writers:' .. of[1], f[1], f[3]) end
  end
end
for _, label in ipairs(cmsgpack.unpack(ARGV[8])) do call('HSET', P .. 'labels', label[1], label[2]) end
return {'done'}
""",
    # ARGV: deadline, attempt, attempts before, name, label
    "set_label": """
if is_late() then return {'late'} end
call('HSET', P .. 'labels', ARGV[4], ARGV[5])
return {'done'}
""",
    # ARGV: deadline, attempt, attempts before, bucket, seconds or ''
    "set_expiry": """
if is_late() then return {'late'} end
expire(ARGV[4])
set_expiry(ARGV[4], tonumber(ARGV[5]))
return {'done'}
""",
    # Gives the seconds until the next bucket expires, as text; those that are held are looked at again soon
    "sweep": """
expire_all()
local first = call('ZRANGE', P .. 'expiry', 0, 0, 'WITHSCORES')
if not first[1] then return false end
return string.format('%.6f', math.max(tonumber(first[2]) - now, 0.05))
""",
    # ARGV: epoch, the server's run, and seq and id of the last event, as far as known; most events, which count if
    # nobody has said it before. Checks what the user may do, and whether the data went back
    "check": """
if redis.acl_check_cmd then
  local b, o = P .. 'bucket:', P .. 'order:'
  for _, command in ipairs({
    {'HGET', META, 'f'}, {'HMGET', META, 'f'}, {'HSET', META, 'f', 'v'}, {'HINCRBY', META, 'f', '1'},
    {'HDEL', META, 'f'}, {'HSETNX', META, 'f', 'v'}, {'HEXISTS', META, 'f'}, {'HGETALL', META}, {'HKEYS', META},
    {'XADD', EVENTS, '*', 'f', 'v'}, {'XRANGE', EVENTS, '-', '+'}, {'XTRIM', EVENTS, 'MINID', '0'},
    {'XREAD', 'STREAMS', EVENTS, '0'}, {'HGET', b, 'f'}, {'HSET', b, 'f', 'v'}, {'HDEL', b, 'f'},
    {'HGETALL', b}, {'DEL', b}, {'ZADD', o, '1', 'f'}, {'ZREM', o, 'f'}, {'ZSCORE', o, 'f'},
    {'ZRANGE', o, '0', '-1'}, {'ZRANGEBYSCORE', o, '0', '1'}, {'EXISTS', P .. 'process:'},
    {'SET', P .. 'process:', 'v', 'PX', '1'}, {'DEL', P .. 'process:'},
  }) do
    if not redis.acl_check_cmd(unpack(command)) then return {'denied', command[1]} end
  end
end
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
local version = type(info) == 'string' and string.match(info, 'redis_version:([%w.]+)') or ''
local epoch, seq = current()
if epoch == ARGV[1] and (run == '' or run ~= ARGV[2]) then
  local known = tonumber(ARGV[3])
  local entry = known > 0 and known <= seq and call('XRANGE', EVENTS, ARGV[3], ARGV[3], 'COUNT', 1)[1]
  if known > 0 and (not entry or entry[2][2] ~= ARGV[4]) then epoch = begun() end
end
call('HSETNX', META, 'max_events', ARGV[5])
return {'done', string.format('%.6f', now), epoch, run, call('HGET', META, 'max_events'), version}
""",
    # ARGV: attempt that mustn't be made any more, its deadline, epoch, seq, id, of a commit
    # Gives the entries of its event, nothing if it isn't there, 'unknown' if it might have been
    "recover": """
void(ARGV[1], ARGV[2])
local epoch = current()
local known = epoch == ARGV[3] and tonumber(ARGV[4]) or 0
local entries = call('XRANGE', EVENTS, number(known + 1), '+')
for _, entry in ipairs(entries) do
  if entry[2][1] == 'id' and entry[2][2] == ARGV[5] then
    local seq = string.match(entry[1], '^%d+')
    return {'found', call('XRANGE', EVENTS, seq, seq)}
  end
end
if entries[1] and epoch == ARGV[3] and tonumber(string.match(entries[1][1], '^%d+')) > known + 1 then
  return {'unknown'}
end
return {'missing', epoch}
""",
}


def _script(name: str, body: str) -> Script:
    text = body
    if name != "read_field":
        for function in reversed(_FUNCTIONS.replace("__EXPIRY__", EXPIRY.decode()).split("\n\n")):
            called = function.partition("local function ")[2].partition("(")[0] + "("
            if called in text:
                text = f"{function}\n{text}"
        text = _HEAD + text
    return Script(text.encode(), hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode())


SCRIPTS = {name: _script(name, body) for name, body in _BODIES.items()}
"""By name."""
