/** Territory attribute of a track whose rights name none: it may be used everywhere. */
export const WORLDWIDE = 'worldwide'
