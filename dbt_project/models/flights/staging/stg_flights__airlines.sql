with source as (
    select * from {{ source('flights', 'airlines') }}
)

select ds, carrier, name as carrier_name
from source
