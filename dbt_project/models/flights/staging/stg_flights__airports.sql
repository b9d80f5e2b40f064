with source as (
    select * from {{ source('flights', 'airports') }}
)

select ds, {{ join_key('faa') }} as faa, tzone as timezone
from source
