/** What lower.mjs exports. */
export declare function createLowering(config: string): (path: string) => string | undefined;
