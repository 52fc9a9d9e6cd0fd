-- Health of a VMMigration for Argo CD: Healthy only once the VM has moved, so that a sync wave behind it waits for that.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function said(type)
  local condition = conditions[type]
  if condition == nil then
    return status.phase or "waiting for the operator"
  end
  return condition.reason .. ": " .. (condition.message or "")
end

if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "waiting for the operator" }
end
if status.phase == "Succeeded" then
  return { status = "Healthy", message = said("Complete") }
end
if status.phase == "Failed" or status.phase == "Cancelled" then
  return { status = "Degraded", message = said("Complete") }
end
if conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  return { status = "Degraded", message = said("Stalled") }
end
return { status = "Progressing", message = said("Reconciling") }
