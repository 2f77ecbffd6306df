"""A spray plan in, an ISOXML task (ISO 11783-10 TASKDATA, V3.3 or V4.3, grid type 1 or 2) out, as a folder or a zip.

Traps of the format: a grid's rows begin in the south; ids have no dash; a task without Customer and Farm is hidden by
some terminals; default, position-lost and out-of-field zones must be set, and are all "off" here: a sprayer that does
not know where it is cannot keep away from water.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shared import atomic
from shared.errors import DataError, require
from verticals.agriculture.spraying.grid import burn
from verticals.agriculture.spraying.plan import SprayPlan
from verticals.agriculture.spraying.provenance import Provenance

Version = Literal["3.3", "4.3"]
GridType = Literal[1, 2]

CELL_M = 0.5
VOLUME_PER_AREA_DDI, MASS_PER_AREA_DDI = 1, 6
"""Set-point rates of ISO 11783-11: DDI 1 in 0.01 mm3/m2, DDI 6 in 1 mg/m2."""
RAW_PER_L_HA, RAW_PER_KG_HA = 10_000, 100
"""1 l/ha = 1e6 mm3 / 1e4 m2 = 100 mm3/m2 = 10,000 x 0.01; 1 kg/ha = 1e6 mg / 1e4 m2 = 100 mg/m2."""
OFF, SPRAYED = 0, 1
TEXT = 32
"""Characters of a name that a terminal takes."""
_GRID_NAME = "GRD00000"
_WGS84 = "EPSG:4326"
_EXTRA = "agriculture"


@dataclass(frozen=True)
class TaskGrid:
    """A plan on cells of equal longitude and latitude.

    Attributes:
        on: ``(rows, columns)`` bool: sprayed; the first row is the **southernmost**, the first column the westernmost.
        south: Latitude of its southern edge, degrees WGS84.
        west: Longitude of its western edge, likewise.
        cell_north: Height of a cell in degrees.
        cell_east: Width of a cell in degrees.
    """

    on: NDArray[np.bool_] = field(repr=False)
    south: Decimal
    west: Decimal
    cell_north: Decimal
    cell_east: Decimal


@dataclass(frozen=True)
class TaskNames:
    """What the terminal shows, each up to 32 characters.

    Attributes:
        field: The field.
        customer: Whose order it is.
        farm: Whose field it is.
        product: What is sprayed.
        mass: The rate is kilograms per hectare of a solid (DDI 6), not litres of a liquid (DDI 1).
    """

    field: str = "field"
    customer: str = "customer"
    farm: str = "farm"
    product: str = "spray liquid"
    mass: bool = False

    def __post_init__(self) -> None:
        for name in ("field", "customer", "farm", "product"):
            if not 1 <= len(getattr(self, name)) <= TEXT:
                raise DataError(f"task: {name} has {len(getattr(self, name))} characters; allowed are 1 to {TEXT}")


def named(field: str) -> TaskNames:
    """Names of a task with the field's, cut where a terminal would; farm and customer are the site's to add."""
    return TaskNames(field=field.strip()[:TEXT].strip() or "field")


def raw_value(rate: float, *, mass: bool = False) -> int:
    """A rate as ISO 11783-11 codes it: 200 l/ha is 2,000,000 (DDI 1), 100 kg/ha is 10,000 (DDI 6).

    Raises:
        DataError: It does not fit the 31 bits of a process value.
    """
    raw = round(rate * (RAW_PER_KG_HA if mass else RAW_PER_L_HA))
    if not 0 <= raw < 2**31:
        raise DataError(f"task: a rate of {rate:g} is {raw} as a process value; allowed are 0 to {2**31 - 1}")
    return raw


def task_grid(plan: SprayPlan, *, cell_m: float = CELL_M) -> TaskGrid:
    """Bring a plan onto cells of longitude and latitude; a cell is on where its centre is.

    Cells that no-spray ground touches, or that lie outside the field's bounds, are off.

    Args:
        plan: The plan.
        cell_m: Side of a cell in metres; small against section and buffer, since it is not aligned with the drive.
    """
    warp, affine = require("rasterio.warp", extra=_EXTRA), require("affine", extra=_EXTRA)
    grid = plan.grid
    west, south, east, north = warp.transform_bounds(grid.crs, _WGS84, *grid.outline.bounds)
    cell_east, cell_north = _degrees(cell_m, west, (south + north) / 2)
    left, bottom = (Decimal(repr(value)).quantize(Decimal("1e-9")) for value in (west, south))
    columns = max(1, int(np.ceil((east - float(left)) / float(cell_east))))
    rows = max(1, int(np.ceil((north - float(bottom)) / float(cell_north))))
    top = float(bottom) + rows * float(cell_north)
    transform = affine.Affine(float(cell_east), 0.0, float(left), 0.0, -float(cell_north), top)
    on = np.zeros((rows, columns), np.uint8)
    warp.reproject(
        plan.cells.astype(np.uint8),
        on,
        src_transform=grid.cell_transform,
        src_crs=grid.crs,
        dst_transform=transform,
        dst_crs=_WGS84,
        resampling=warp.Resampling.nearest,
    )
    forbidden = require("geopandas", extra=_EXTRA).GeoSeries(list(plan.no_spray), crs=grid.crs).to_crs(_WGS84)
    on[burn(list(forbidden), transform, on.shape, touched=True)] = 0
    return TaskGrid(np.flipud(on).astype(bool), bottom, left, cell_north, cell_east)


def _degrees(cell_m: float, longitude: float, latitude: float) -> tuple[Decimal, Decimal]:
    """A length in metres as degrees to the east and to the north on the ellipsoid, to 1e-9 degrees (0.1 mm)."""
    geod = require("pyproj", extra=_EXTRA).Geod(ellps="WGS84")
    reach = 100.0
    east = geod.fwd(longitude, latitude, 90, reach)[0] - longitude
    north = geod.fwd(longitude, latitude, 0, reach)[1] - latitude
    nano = Decimal("1e-9")
    return Decimal(east * cell_m / reach).quantize(nano), Decimal(north * cell_m / reach).quantize(nano)


def write_task(
    plan: SprayPlan,
    path: Path,
    provenance: Provenance,
    *,
    names: TaskNames | None = None,
    version: Version = "3.3",
    grid_type: GridType = 1,
    cell_m: float = CELL_M,
) -> Path:
    """Write a plan as an ISOXML task.

    Args:
        plan: The plan.
        path: Ends in ``.zip`` for a zip, else a folder; ``TASKDATA`` is inside.
        provenance: Its designator becomes the task's.
        names: What the terminal shows.
        version: ``3.3`` or ``4.3``.
        grid_type: 1 writes zone codes of 8 bits, 2 rates of 32 bits.
        cell_m: See :func:`task_grid`.

    Raises:
        DataError: A field of several parts in V3.3, which has one polygon for each Partfield; a rate that cannot be
            coded.
    """
    if version not in ("3.3", "4.3") or grid_type not in (1, 2):
        raise DataError(f"task: version {version}, grid type {grid_type} is not written; allowed are 3.3, 4.3 and 1, 2")
    cells = task_grid(plan, cell_m=cell_m)
    task_data, binary = _task_data(plan, cells, provenance, names or TaskNames(), version, grid_type)
    files = require("isoxml.util.isoxml_io", extra=_EXTRA)
    if path.suffix.lower() != ".zip":
        with atomic.folder(path) as temporary:
            (temporary / "TASKDATA").mkdir()
            files.isoxml_to_dir(temporary / "TASKDATA", task_data, {_GRID_NAME: binary})
        return path
    with atomic.file(path) as temporary:
        files.isoxml_to_zip(temporary, task_data, {_GRID_NAME: binary})
    return path


def _task_data(
    plan: SprayPlan, cells: TaskGrid, provenance: Provenance, names: TaskNames, version: str, grid_type: int
) -> tuple[Any, bytes]:
    """The TASKDATA document and the bytes of its grid."""
    iso = require(f"isoxml.models.base.v{version[0]}", extra=_EXTRA)
    raw = raw_value(plan.rate_l_ha, mass=names.mass)
    grid, binary = _grid(iso, cells, raw, grid_type)
    status = iso.TaskStatus.Initial if version == "3.3" else iso.TaskStatus.Planned
    task = iso.Task(
        id="TSK1",
        designator=provenance.designator(),
        status=status,
        customer_id_ref="CTR1",
        farm_id_ref="FRM1",
        partfield_id_ref="PFD1",
        treatment_zones=_zones(iso, raw, names.mass, grid_type),
        grids=[grid],
        default_treatment_zone_code=OFF,
        position_lost_treatment_zone_code=OFF,
        out_of_field_treatment_zone_code=OFF,
    )
    document = iso.Iso11783TaskData(
        management_software_manufacturer="Loupe",
        management_software_version=metadata.version("loupe-vision"),
        data_transfer_origin=iso.Iso11783TaskDataDataTransferOrigin.FMIS,
        customers=[iso.Customer(id="CTR1", **{"designator" if version == "3.3" else "last_name": names.customer})],
        farms=[iso.Farm(id="FRM1", designator=names.farm, customer_id_ref="CTR1")],
        partfields=[_partfield(iso, plan, names, version)],
        products=[iso.Product(id="PDT1", designator=names.product)],
        tasks=[task],
    )
    return document, binary


def _zones(iso: Any, raw: int, mass: bool, grid_type: int) -> list[Any]:
    """Zone 0 is off. Zone 1 has the rate; with grid type 2 it only says what the grid's values mean."""
    ddi = (MASS_PER_AREA_DDI if mass else VOLUME_PER_AREA_DDI).to_bytes(2, "big")

    def zone(code: int, designator: str, value: int) -> Any:
        rate = iso.ProcessDataVariable(process_data_ddi=ddi, process_data_value=value, product_id_ref="PDT1")
        return iso.TreatmentZone(code=code, designator=designator, process_data_variables=[rate])

    return [zone(OFF, "off", 0), zone(SPRAYED, "spray", raw if grid_type == 1 else 0)]


def _grid(iso: Any, cells: TaskGrid, raw: int, grid_type: int) -> tuple[Any, bytes]:
    numpy_grids = require("isoxml.converter.np_grid", extra=_EXTRA)
    rows, columns = cells.on.shape
    grid = iso.Grid(
        minimum_north_position=cells.south,
        minimum_east_position=cells.west,
        cell_north_size=cells.cell_north,
        cell_east_size=cells.cell_east,
        maximum_column=columns,
        maximum_row=rows,
        filename=_GRID_NAME,
        type=iso.GridType(str(grid_type)),
    )
    values = np.where(cells.on, SPRAYED, OFF).astype(np.uint8) if grid_type == 1 else np.where(cells.on, raw, 0)
    if grid_type == 2:
        grid.treatment_zone_code = SPRAYED
        values = values.astype("<i4")
    binary: bytes = numpy_grids.from_numpy_array(values, grid)
    grid.filelength = len(binary)
    return grid, binary


def _partfield(iso: Any, plan: SprayPlan, names: TaskNames, version: str) -> Any:
    converters, geopandas = require("isoxml.converter.shapely_geom", extra=_EXTRA), require("geopandas", extra=_EXTRA)
    outline = geopandas.GeoSeries([plan.grid.outline], crs=plan.grid.crs).to_crs(_WGS84).iloc[0]
    parts = list(getattr(outline, "geoms", [outline]))
    if version == "3.3" and len(parts) > 1:
        raise DataError(
            f"task: the field {names.field} has {len(parts)} parts, a Partfield of V3.3 has one polygon; "
            "write a task for each part, or V4.3"
        )
    convert = converters.ShapelyConverterV3() if version == "3.3" else converters.ShapelyConverterV4()
    return iso.Partfield(
        id="PFD1",
        designator=names.field,
        area=round(plan.hectares["field"] * 10_000),
        customer_id_ref="CTR1",
        farm_id_ref="FRM1",
        polygons=[convert.to_iso_polygon(part, iso.PolygonType.PartfieldBoundary) for part in parts],
    )
