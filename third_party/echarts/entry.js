// What the report page draws with: a part of Apache ECharts as one global, `echarts`.
import { init, version, use } from "echarts/core";
import { ScatterChart, LineChart, CustomChart, ParallelChart } from "echarts/charts";
import { TooltipComponent, GridComponent, DataZoomComponent, BrushComponent,
         ParallelComponent } from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";

use([ScatterChart, LineChart, CustomChart, ParallelChart, TooltipComponent, GridComponent,
     DataZoomComponent, BrushComponent, ParallelComponent, CanvasRenderer]);
export { init, version };
