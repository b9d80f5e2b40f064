with source as (
    select * from {{ source('flights', 'airlines') }}
)

select ds, {{ join_key('carrier') }} as carrier, name as carrier_name
from source
