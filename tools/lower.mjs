// Rewrites loops over arrays and destructured arrays of src/ for the bundle. JavaScript defines both by the iterator protocol, for which code that V8
// has not optimized yet makes an iterator, and an object for each element; and a start, a fork or a compilation runs in such code. Where the type
// checker knows that it is an array, indices do the same. Called by build.mjs; the sources stay as they read best.
import { dirname, resolve } from "node:path";
import ts from "typescript";

const TYPED_ARRAY = /^(Big)?(Int|Uint|Float)(8|16|32|64)(Clamped)?Array$/;

/** Reads the sources in src/ that a tsconfig names; what is returned gives the text of one of them by its path, rewritten on the same lines; undefined: it is none of them, or a test. */
export function createLowering(config) {
  const { config: json } = ts.readConfigFile(config, ts.sys.readFile);
  const { fileNames, options } = ts.parseJsonConfigFileContent(json, ts.sys, dirname(resolve(config)));
  const program = ts.createProgram(
    fileNames.filter((name) => name.includes("/src/") && !name.endsWith(".test.ts")),
    options,
  );
  const sources = new Set(program.getRootFileNames());
  return (path) => (sources.has(path) ? lowerFile(program.getSourceFile(path), program.getTypeChecker()) : undefined);
}

/** The text of a source file with the loops and patterns rewritten. */
function lowerFile(file, checker) {
  const edits = [];
  let names = 0;
  const fresh = () => `$${names++}`;
  const text = (node) => node.getText(file);
  const replace = (from, to, by) => edits.push({ from, to, by });

  const isIndexable = (type) => {
    if (type.isUnion()) return type.types.every(isIndexable);
    return checker.isArrayType(type) || checker.isTupleType(type) || TYPED_ARRAY.test(type.symbol?.name ?? "");
  };
  const typeOf = (node) => checker.getTypeAtLocation(node);

  /** The elements of a pattern if each is a name of its own, as { name, index }. */
  const namesOf = (pattern) => {
    const found = [];
    for (const [index, element] of pattern.elements.entries()) {
      if (ts.isOmittedExpression(element)) continue;
      if (!ts.isIdentifier(element.name) || element.initializer || element.dotDotDotToken) return undefined;
      found.push({ name: element.name.text, index });
    }
    return found.length > 0 ? found : undefined;
  };
  const isLiteralFor = (node, count) =>
    ts.isArrayLiteralExpression(node) &&
    node.elements.length === count &&
    !node.elements.some((element) => ts.isSpreadElement(element) || ts.isOmittedExpression(element));
  const readAll = (names, from) => names.map(({ name, index }) => `${name} = ${from}[${index}]`).join(", ");

  /** Puts statements at the start of a loop's body. */
  const begin = (body, statements) => {
    if (ts.isBlock(body)) replace(body.getStart(file) + 1, body.getStart(file) + 1, ` ${statements}`);
    else {
      replace(body.getStart(file), body.getStart(file), `{ ${statements} `);
      replace(body.end, body.end, " }");
    }
  };

  const forOf = (node) => {
    const { initializer, expression, statement } = node;
    if (node.awaitModifier || !ts.isVariableDeclarationList(initializer)) return;
    const keyword = initializer.flags & ts.NodeFlags.Const ? "const" : "let";
    const { name } = initializer.declarations[0];
    const names = ts.isArrayBindingPattern(name) ? namesOf(name) : undefined;
    if (isIndexable(typeOf(expression))) {
      const [i, array] = [fresh(), fresh()];
      replace(initializer.getStart(file), expression.getStart(file), `let ${i} = 0, ${array} = `);
      replace(expression.end, expression.end, `; ${i} < ${array}.length; ${i}++`);
      const element = `${array}[${i}]`;
      if (names && isIndexable(typeOf(name))) {
        const whole = fresh();
        begin(statement, `${keyword} ${whole} = ${element}, ${readAll(names, whole)};`);
      } else begin(statement, `${keyword} ${text(name)} = ${element};`);
    } else if (names && isIndexable(typeOf(name))) {
      const whole = fresh();
      replace(name.getStart(file), name.end, whole);
      begin(statement, `${keyword} ${readAll(names, whole)};`);
    }
  };

  /** [a, b] = [c, d] and [a, b] = e, in a declaration. */
  const declaration = ({ name, initializer }) => {
    if (!initializer || !ts.isArrayBindingPattern(name)) return;
    const names = namesOf(name);
    if (!names) return;
    if (names.length === name.elements.length && isLiteralFor(initializer, names.length)) {
      const { elements } = initializer;
      let from = name.getStart(file);
      elements.forEach((element, i) => {
        replace(from, element.getStart(file), `${i > 0 ? ", " : ""}${names[i].name} = `);
        from = element.end;
      });
      replace(from, initializer.end, "");
    } else if (isIndexable(typeOf(initializer))) {
      const whole = fresh();
      replace(name.getStart(file), name.end, whole);
      replace(initializer.end, initializer.end, `, ${readAll(names, whole)}`);
    }
  };

  /** The same as a statement. */
  const assignment = (node) => {
    const { expression } = node;
    if (!ts.isBinaryExpression(expression) || expression.operatorToken.kind !== ts.SyntaxKind.EqualsToken) return;
    const { left, right } = expression;
    if (!ts.isArrayLiteralExpression(left) || !isLiteralFor(left, left.elements.length)) return;
    if (
      left.elements.some(
        (target) =>
          !ts.isIdentifier(target) && !ts.isPropertyAccessExpression(target) && !ts.isElementAccessExpression(target),
      )
    )
      return;
    if (isLiteralFor(right, left.elements.length)) {
      const values = left.elements.map(fresh);
      let from = node.getStart(file);
      right.elements.forEach((element, i) => {
        replace(from, element.getStart(file), `${i > 0 ? ", " : "{ const "}${values[i]} = `);
        from = element.end;
      });
      replace(from, node.end, `; ${left.elements.map((target, i) => `${text(target)} = ${values[i]};`).join(" ")} }`);
    } else if (isIndexable(typeOf(right))) {
      const whole = fresh();
      replace(node.getStart(file), right.getStart(file), `{ const ${whole} = `);
      replace(
        right.end,
        node.end,
        `; ${left.elements.map((target, i) => `${text(target)} = ${whole}[${i}];`).join(" ")} }`,
      );
    }
  };

  const visit = (node) => {
    if (ts.isForOfStatement(node)) forOf(node);
    else if (ts.isVariableDeclaration(node)) declaration(node);
    else if (ts.isExpressionStatement(node)) assignment(node);
    ts.forEachChild(node, visit);
  };
  visit(file);

  edits.sort((a, b) => a.from - b.from || a.to - b.to);
  let [out, at] = ["", 0];
  for (const { from, to, by } of edits) {
    if (from < at) throw new Error(`${file.fileName}: rewritten twice at ${from}`);
    out += file.text.slice(at, from) + by;
    at = to;
  }
  return out + file.text.slice(at);
}
