with source as (
    select * from {{ source('flights', 'planes') }}
)

select
    ds,
    {{ join_key('tailnum') }} as tailnum,
    year as built_year,
    -- The register writes the same maker in several ways, and calls the maker of a home-built aircraft by the name of
    -- the person: airliners keep their maker, and no person's name goes further than here.
    case
        when manufacturer like 'AIRBUS%' then 'AIRBUS'
        when manufacturer like 'BOEING%' then 'BOEING'
        when manufacturer like 'BOMBARDIER%' then 'BOMBARDIER'
        when manufacturer like 'CANADAIR%' then 'CANADAIR'
        when manufacturer like 'EMBRAER%' then 'EMBRAER'
        when manufacturer like 'MCDONNELL DOUGLAS%' then 'MCDONNELL DOUGLAS'
        else 'OTHER'
    end as manufacturer,
    seats as seats_count
from source
