-- Health of a MigrationPolicy for Argo CD: whether the operator can carry it out.
local status = obj.status or {}
if status.observedGeneration == obj.metadata.generation then
  for _, condition in ipairs(status.conditions or {}) do
    if condition.type == "Ready" then
      local health = condition.status == "True" and "Healthy" or "Degraded"
      return { status = health, message = condition.message or "" }
    end
  end
end
return { status = "Progressing", message = "waiting for the operator" }
