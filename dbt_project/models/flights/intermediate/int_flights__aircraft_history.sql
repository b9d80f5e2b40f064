select *
from ({{ late_history(by=['tailnum'], days=28) }})
where tailnum is not null
