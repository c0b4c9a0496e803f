// The visible rectangle of the (bin, tick) plane. Pure: one mapping for picture, lines and cursor.
//
// Bin x covers [x, x+1) of the time axis; tick t covers [t - 0.5, t + 0.5) of the price axis.

export interface View {
  readonly right: number; // time coordinate of the right edge
  readonly columns: number; // bins across
  readonly centre: number; // tick at half height
  readonly ticks: number; // ticks from bottom to top
  readonly followTime: boolean;
  readonly followPrice: boolean;
  readonly paused: boolean;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Limits {
  readonly columns: readonly [number, number];
  readonly ticks: readonly [number, number];
}

// Room right of now, as a share of the width: the profile of the newest bin stands there.
export const MARGIN = 0.13;
// Following, the price may leave the middle by this share of the height before the view moves.
const SLACK = 0.1;

export const leftOf = (view: View): number => view.right - view.columns;
export const topOf = (view: View): number => view.centre + view.ticks / 2;

export const xToPx = (view: View, size: Size, x: number): number =>
  ((x - leftOf(view)) / view.columns) * size.width;
export const pxToX = (view: View, size: Size, px: number): number =>
  leftOf(view) + (px / size.width) * view.columns;
export const tickToPx = (view: View, size: Size, tick: number): number =>
  ((topOf(view) - tick) / view.ticks) * size.height;
export const pxToTick = (view: View, size: Size, py: number): number =>
  topOf(view) - (py / size.height) * view.ticks;

export const columnAt = (view: View, size: Size, px: number): number => Math.floor(pxToX(view, size, px));
export const tickAt = (view: View, size: Size, py: number): number =>
  Math.ceil(pxToTick(view, size, py) - 0.5);

const clamp = (value: number, [low, high]: readonly [number, number]): number =>
  Math.min(high, Math.max(low, value));

// Cells of whole pixels to begin with, two across; in height the grid and the slack of following.
export function opening(size: Size, rows: number): View {
  const cell = Math.max(1, Math.floor(size.height / (rows * (1 + SLACK))));
  return {
    right: 0, columns: Math.max(8, size.width / 2), centre: 0, ticks: size.height / cell,
    followTime: true, followPrice: true, paused: false,
  };
}

// Where "now" stands while following.
export function rightEdge(view: View, head: number): number {
  return head + 1 + Math.round(view.columns * MARGIN);
}

// Bring a following view up to date with the newest bin and its price.
export function followed(view: View, head: number, price: number): View {
  if (view.paused || head < 0) return view;
  const right = view.followTime ? rightEdge(view, head) : view.right;
  const astray = Math.abs(price - view.centre) > SLACK * view.ticks;
  const centre = view.followPrice && astray ? Math.round(price) : view.centre;
  return right === view.right && centre === view.centre ? view : { ...view, right, centre };
}

// Zoom about a fixed time coordinate; a following view keeps "now" fixed instead.
export function zoomTime(view: View, factor: number, anchor: number, head: number, limits: Limits): View {
  const columns = clamp(view.columns * factor, limits.columns);
  const zoomed = { ...view, columns };
  if (view.followTime && !view.paused) return { ...zoomed, right: rightEdge(zoomed, head) };
  return { ...zoomed, right: anchor + (view.right - anchor) * (columns / view.columns) };
}

export function zoomPrice(view: View, factor: number, anchor: number, limits: Limits): View {
  const ticks = clamp(view.ticks * factor, limits.ticks);
  return { ...view, ticks, centre: anchor + (view.centre - anchor) * (ticks / view.ticks) };
}

// Move the view within what exists. Moving away from now or from the price stops following it;
// reaching now again resumes.
export function pan(view: View, columns: number, ticks: number, oldest: number, head: number): View {
  const edge = rightEdge(view, head);
  const right = Math.min(edge, Math.max(oldest + view.columns * MARGIN, view.right + columns));
  return {
    ...view,
    right: columns === 0 ? view.right : right,
    centre: view.centre + ticks,
    followTime: columns === 0 ? view.followTime : right === edge,
    followPrice: view.followPrice && ticks === 0,
  };
}

// Newest bin that may be seen, given the newest at the moment the view was paused.
export const visibleHead = (view: View, head: number, frozen: number): number => (view.paused ? frozen : head);

// How many bins have arrived that the view does not show.
export function binsBehind(view: View, head: number, frozen: number): number {
  if (head < 0) return 0;
  const shown = Math.min(visibleHead(view, head, frozen), Math.ceil(view.right) - 1);
  return Math.max(0, head - shown);
}

// Bins and ticks that share one pixel when zoomed out; they are reduced by the largest magnitude.
export function reduction(view: View, size: Size): { bins: number; ticks: number } {
  return {
    bins: Math.max(1, Math.ceil(view.columns / size.width - 1e-9)),
    ticks: Math.max(1, Math.ceil(view.ticks / size.height - 1e-9)),
  };
}
