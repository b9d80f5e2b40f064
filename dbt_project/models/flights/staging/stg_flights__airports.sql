with source as (
    select * from {{ source('flights', 'airports') }}
)

select ds, faa, tzone as timezone
from source
